"""Other programs' files: the G.pt reference, PyTorch, safetensors and LMDB."""
