# Without training: MetaCLIP's ViT-B/16.
_base_ = '../dcpclip_vitb16_frozen.py'
clip = dict(model_name='ViT-B-16', pretrained='metaclip_fullcc')
model = dict(backbone=clip, text_encoder=clip)
