# Without training: LAION's ViT-L/14, whose pictures were normalised in another way.
_base_ = '../dcpclip_vitb16_frozen.py'
clip = dict(model_name='ViT-L-14', pretrained='laion2b_s32b_b82k')
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=clip,
    text_encoder=clip)
