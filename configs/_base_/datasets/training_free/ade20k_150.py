# No seen classes: nothing is trained.
_base_ = '../ade20k_150.py'
test_evaluator = dict(seen=None)
