# The training-free mode on a mini CLIP that was trained on captions alone, as CLIP is.
# Its last block says little about patches: read-outs are judged here.
_base_ = './dcpclip_mini_frozen.py'
clip = dict(pretrained='miniworld-cls')
model = dict(
    backbone=dict(read_out='self_calibrated', **clip),
    text_encoder=clip,
    selection=dict(form='union'))
