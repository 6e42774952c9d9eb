# No seen classes: nothing is trained.
_base_ = '../coco_stuff_171.py'
test_evaluator = dict(seen=None)
