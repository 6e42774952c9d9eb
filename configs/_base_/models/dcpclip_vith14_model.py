# On OpenCLIP's ViT-H/14, trained on LAION-2B: 24 x 24 patches of 336 pixels.
_base_ = './dcpclip_vitb16_model.py'
clip = dict(model_name='ViT-H-14', pretrained='laion2b_s32b_b79k')
model = dict(
    backbone=dict(out_indices=(10, 20), input_size=(336, 336), **clip),
    text_encoder=dict(**clip))
