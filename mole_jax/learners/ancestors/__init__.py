"""MOLE's ancestors: learners that need no zoo and know no weights of other networks.

All are meta-trained on episodes, mostly by the loss on query sets. Each has a file here and a
section in `config.learners`, where `steps=0` leaves it out.
"""
