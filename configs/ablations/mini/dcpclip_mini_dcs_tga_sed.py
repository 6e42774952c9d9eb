# Table III, DCS + TGA + SED: everything but tag validation.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(tag_validation=None)
