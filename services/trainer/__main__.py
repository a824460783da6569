"""`python -m services.trainer`"""

from services.trainer.service import build
from services.trainer.settings import TrainerSettings
from shared.catalogue import Room
from shared.runtime import main

if __name__ == "__main__":
    main(Room.TRAINER, TrainerSettings, build)
