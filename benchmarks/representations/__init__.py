"""Which representation of networks suits conditional generation: media at equal compute."""
