"""What measures run in: the learners and episodes that they get, and the seam they fit into."""
