"""Infrastructure that every other folder uses and that knows nothing of the domain.

Two rules hold in the whole package.

How records are made:
- a pytree of arrays is a `NamedTuple` (State, Prompt, Examples, Pairs, Normaliser): JAX knows it
  without registration, it costs nothing to make, `_replace` changes a field, and it unpacks;
- static facts are a frozen dataclass (Network, Codec, Process, Recipe): hashable, hence an argument
  that `jax.jit` compiles for; `eq=False` where identity is what counts;
- a record of both, or one with methods behind a protocol, is a frozen dataclass registered by
  `jax.tree_util.register_dataclass`, which lists data fields and static fields (ImageTasks,
  ControlTasks).
We do not use `chex.dataclass`: it is mutable by default and has no static fields.

How shapes are checked: a public function begins with `chex` assertions on shapes, ranks and types
wherever a wrong one would broadcast silently or fail far away. The message gives the shapes by
their letters (B batch, L tokens, C channels, D parameters, K classes, n examples, F features, R
runs, S snapshots). Only static facts are checked, so the cost is paid at tracing, not at run time.
An AssertionError of chex is a bug in MOLE. What a user can fix is checked earlier, by value, and
raises `UserError`. Importing chex starts JAX, so NumPy-only code that has to start fast (the zoo's
command, the report) checks shapes without it.
"""
