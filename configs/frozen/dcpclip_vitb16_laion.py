# Without training: LAION's ViT-B/16.
_base_ = '../dcpclip_vitb16_frozen.py'
clip = dict(model_name='ViT-B-16', pretrained='laion2b_s34b_b88k')
model = dict(backbone=clip, text_encoder=clip)
