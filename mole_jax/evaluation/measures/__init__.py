"""What is measured of a trained learner, one file per measure."""
