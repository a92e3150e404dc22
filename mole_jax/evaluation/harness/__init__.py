"""What measures run in: the learners and episodes they get, and the interface they implement."""
