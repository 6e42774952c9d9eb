# Table V, (II) without the learnable prompt: the embeddings alone.
_base_ = './dcpclip_mini_guidance_no_cls.py'
model = dict(neck=dict(guidance_prompt=False))
