# On CLIP ViT-L/14 at 336 pixels: 24 x 24 patches, as for ViT-B/16 at 384.
_base_ = './dcpclip_vitb16_model.py'
clip = dict(model_name='ViT-L-14-336', pretrained='openai')
model = dict(
    backbone=dict(out_indices=(7, 15), input_size=(336, 336), **clip),
    text_encoder=dict(**clip))
