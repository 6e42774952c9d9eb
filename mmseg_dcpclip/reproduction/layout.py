"""A report as text: grids for a terminal, and Markdown."""

from collections.abc import Mapping


def show(value: Mapping | None, digits: int = 2) -> str:
    """A mean with its spread; 'not run' for None."""
    if value is None:
        return 'not run'
    text = f'{value["mean"]:.{digits}f}'
    return text if value['std'] is None else f'{text} ± {value["std"]:.{digits}f}'


def grids(content: Mapping) -> dict[str, list[list[str]]]:
    """A report as tables of text: by caption a head line and the rows.

    Args:
        content: As ``report.report`` returns it.

    Returns:
        dict: Captions 'Paper and ours', 'Unseen classes, ours' and 'Claims', those
        that the table has.
    """
    rows = content['rows']
    head = ['row', 'seeds']
    for cell in rows[0]['cells']:
        if cell['paper_heading']:
            head.append(f'{cell["paper_heading"]}, paper')
        head.append(f'{cell["heading"]}, ours')
    body = []
    for row in rows:
        line = [row['name'], str(len(row['seeds'])) if row['config'] else '']
        for cell in row['cells']:
            if cell['paper_heading']:
                line.append('' if cell['paper'] is None else f'{cell["paper"]:g}')
            line.append(show(cell['ours'], cell['digits']) if row['config'] else '')
        body.append(line)
    result = {'Paper and ours': [head, *body]}
    ours = [row for row in rows if row['benchmarks']]
    if content['table'] != 2 and ours:
        result['Unseen classes, ours'] = [
            ['row', *content['stands_for']],
            *([row['name'], *(show(scores['unseen_mIoU'])
                              for scores in row['benchmarks'].values())]
              for row in ours)]
    if content['claims']:
        result['Claims'] = [['claim', 'measured by', 'difference', 'seeds', 'verdict']]
        for claim in content['claims']:
            difference = show(claim if claim['seeds'] else None, 3)
            result['Claims'].append([claim['claim'], claim['measure'], difference,
                                     str(claim['seeds']), claim['verdict']])
    return result


def markdown(content: Mapping) -> str:
    """A report as Markdown."""
    lines = [f'# Table {content["table"]}: {content["title"]} ({content["world"]} '
             'world)', '', content['rule']]
    if content['world'] != 'real':
        lines.append('Stand-ins: ' + ', '.join(
            f'{ours} for {paper}' for ours, paper in content['stands_for'].items())
            + "; their figures cannot be compared with the paper's, only how they "
            'change from row to row.')
    for note in content.get('notes', ()):
        lines += ['', note]
    for caption, (head, *body) in grids(content).items():
        lines += ['', f'## {caption}', '']
        if caption == 'Claims':
            lines += ['Differences of runs with the same seed; scores are means over '
                      'the benchmarks. A claim of a rise or a saving holds if the mean '
                      'difference exceeds its standard deviation.', '']
        lines += [f'| {" | ".join(line)} |' for line in
                  (head, ['---'] * len(head), *body)]
    return '\n'.join(lines) + '\n'
