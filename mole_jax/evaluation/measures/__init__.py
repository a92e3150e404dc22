"""What is measured of a trained model, one file a measure."""
