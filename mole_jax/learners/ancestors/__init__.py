"""MOLE's ancestors: learners that need no zoo and know no weights of other networks.

All are meta-trained on episodes, the loss of a query set being what they are judged by. One file a
learner; each has a section of its own in `config.learners`, and `steps=0` there leaves it out.
"""
