"""The meta-model: a conditional diffusion transformer over the tokens of a network.

Start with `meta_model.py`, the record that holds its parts: module, diffusion process,
representation and target network. Then `networks/transformer.py`, and `networks/probing.py` for
what is not in other diffusion transformers: gradients of the network that is being written.

    process/     noise schedules, what an output means (x0, eps, v, edm, flow), samplers, the prompt
    networks/    the transformer, its blocks and probes; G.pt's transformer; the sharding of state
    layers/      attention, dense layers, embeddings, the set encoder

How it is trained is in `training` and in `learners/diffusion.py`. The keys are the sections
`metamodel`, `diffusion` and `sampling` of a config: `metamodel_config.py`,
`process/process_config.py`.
"""
