"""What a meta-trained learner must beat: ordinary training, and clever ways of copying from the
zoo.
"""
