"""How many processes share the work, as their launcher says."""

import os
from dataclasses import dataclass

import torch
from mmengine.dist import get_dist_info, is_distributed

# rank, number, rank on the machine, and what tells a start from another one
LAUNCHERS = (
    ('RANK', 'WORLD_SIZE', 'LOCAL_RANK',
     ('TORCHELASTIC_RUN_ID', 'TORCHELASTIC_RESTART_COUNT', 'MASTER_ADDR',
      'MASTER_PORT')),
    # of a step, which srun starts: in a job script alone there is one process
    ('SLURM_PROCID', 'SLURM_STEP_NUM_TASKS', 'SLURM_LOCALID',
     ('SLURM_JOB_ID', 'SLURM_STEP_ID')),
    ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK',
     ('OMPI_MCA_ess_base_jobid', 'PMIX_NAMESPACE')),
)


@dataclass(frozen=True)
class Processes:
    """This process among those that share the work; they need not talk.

    Attributes:
        rank: Its number.
        count: How many there are.
        local_rank: Its number on its machine.
        start: The same for all that were started together.
    """
    rank: int = 0
    count: int = 1
    local_rank: int = 0
    start: str = 'alone'

    @classmethod
    def here(cls) -> 'Processes':
        """As a process group has them, or torchrun, srun or mpirun started them."""
        if is_distributed():
            number, total = get_dist_info()
            return cls(number, total, int(os.environ.get('LOCAL_RANK', 0)))
        for rank, count, local, names in LAUNCHERS:
            if rank in os.environ and int(os.environ.get(count, 1)) > 1:
                start = '-'.join(os.environ.get(name, '') for name in names)
                return cls(int(os.environ[rank]), int(os.environ[count]),
                           int(os.environ.get(local, 0)), start)
        return cls()

    def device(self, name: str) -> str:
        """The device of this process: of 'cuda' each takes another one."""
        if name != 'cuda' or self.count == 1 or not torch.cuda.is_available():
            return name
        return f'cuda:{self.local_rank % torch.cuda.device_count()}'
