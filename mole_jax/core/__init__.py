"""What every other folder needs and no domain word names.

Two rules that hold on every floor are written here.

How records are made:
- a pytree of arrays is a `NamedTuple` (State, Prompt, Examples, Pairs, Normaliser): JAX knows it
  without registration, it costs nothing to make, `_replace` changes a field, and it unpacks;
- static facts are a frozen dataclass (Network, Codec, Process, Recipe): hashable, hence an argument
  that `jax.jit` compiles for; `eq=False` where identity is what counts;
- a record of both, or one with methods behind a protocol, is a frozen dataclass registered by
  `jax.tree_util.register_dataclass`, which says which fields are which (ImageTasks, ControlTasks).
`chex.dataclass` would be a third way to write the first of these. By default it
is mutable, and it knows no static fields, so we use none.

How shapes are checked: `chex` asserts shapes, ranks and types where a public function begins, if a
wrong one would broadcast in silence or fail far away. The message gives the shapes by their letters
(B batch, L tokens, C channels, D parameters, K classes, n examples, F features, R runs, S
snapshots). Only static facts are checked: a function pays while it is traced, and nothing when it
runs. An AssertionError of chex is a fault of ours. What a user can fix is checked before, by
value, and raises `UserError`. Importing chex starts JAX: files that are NumPy's alone, which start
at once for it (the zoo's command, the report), check shapes by themselves.
"""
