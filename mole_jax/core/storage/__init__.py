"""Files that are whole or not there: arrays, JSON, checkpoints, logs of metrics."""
