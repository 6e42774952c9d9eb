# Table 8: the cross-entropy, and a third decoder layer: maps of 8 times the grid.
_base_ = './dcpclip_mini_ce.py'
model = dict(
    decode_head=dict(
        num_layers=3,
        guidance_dims=(64, 32, 16),
        similarity_dims=(8, 4, 4),
        skip_dims=(32, 32, 16),
        num_heads=(2, 1, 1)))
