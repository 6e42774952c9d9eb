# With the names of training-free work, and no seen classes.
_base_ = '../coco_object_81.py'
test_dataloader = dict(dataset=dict(names='sclip'))
test_evaluator = dict(seen=None)
