# Without training: MetaCLIP's ViT-L/14.
_base_ = '../dcpclip_vitb16_frozen.py'
clip = dict(model_name='ViT-L-14', pretrained='metaclip_fullcc')
model = dict(backbone=clip, text_encoder=clip)
