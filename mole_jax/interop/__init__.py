"""Other programs' files: PyTorch, safetensors, ONNX, LMDB and the G.pt reference.

`python -m mole_jax.interop` has the commands; each is a file here with `add_arguments` and `run`.

    network_files.py, onnx_file.py    single networks, with a card that says how they compute
    zoo_files.py                      whole zoos as safetensors
    export_model.py                   a meta-model in one file, for `mole_jax.load`
    gpt/                              G.pt's meta-models: import, export, parity of every number
    lmdb/                             G.pt's checkpoint data sets, to zoos and back

Zoos of others come in through `mole_jax/zoo/importing`.
"""
