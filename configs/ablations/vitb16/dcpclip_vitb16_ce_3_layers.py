# Table 8: the cross-entropy, and a third decoder layer: maps of 8 times the grid.
_base_ = './dcpclip_vitb16_ce.py'
model = dict(
    decode_head=dict(
        num_layers=3,
        guidance_dims=(160, 96, 64),
        similarity_dims=(16, 8, 4),
        skip_dims=(64, 48, 32),
        num_heads=(2, 1, 1)))
