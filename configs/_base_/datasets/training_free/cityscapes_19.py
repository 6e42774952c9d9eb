# No seen classes: nothing is trained.
_base_ = '../cityscapes_19.py'
test_evaluator = dict(seen=None)
