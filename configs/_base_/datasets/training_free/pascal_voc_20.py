# With the names of training-free work, and no seen classes.
_base_ = '../pascal_voc_20.py'
test_dataloader = dict(dataset=dict(
    names='sclip', data_prefix=dict(seg_map_path='SegmentationClass')))
test_evaluator = dict(seen=None)
