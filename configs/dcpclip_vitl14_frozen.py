# Without training: OpenAI's CLIP ViT-L/14.
_base_ = './dcpclip_vitb16_frozen.py'
clip = dict(model_name='ViT-L-14', pretrained='openai')
model = dict(backbone=clip, text_encoder=clip)
