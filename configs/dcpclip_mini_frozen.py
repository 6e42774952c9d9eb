# The training-free mode: the frozen mini CLIP with the same selection and the arg max
# of the cosine.
_base_ = './dcpclip_mini_paper.py'
model = dict(
    backbone=dict(trainable='none'),
    neck=None,
    tag_validation=None,
    decode_head=dict(
        _delete_=True, type='CosineHead', scale=40.0, bias=0.0, activation='softmax',
        trainable=False))
