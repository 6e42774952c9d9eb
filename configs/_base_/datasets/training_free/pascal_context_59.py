# With the names of training-free work, and no seen classes.
_base_ = '../pascal_context_59.py'
test_dataloader = dict(dataset=dict(names='mmseg'))
test_evaluator = dict(seen=None)
