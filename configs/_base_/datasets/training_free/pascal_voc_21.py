# With the names of training-free work, and no seen classes.
_base_ = '../pascal_voc_21.py'
test_dataloader = dict(dataset=dict(names='sclip'))
test_evaluator = dict(seen=None)
