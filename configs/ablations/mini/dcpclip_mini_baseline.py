# Table III, baseline: CLIP with q and v tuned, all categories, logits from the cosine.
_base_ = './dcpclip_mini_dcs.py'
model = dict(selection=dict(theta=0))
