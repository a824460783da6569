"""`python -m services.evaluator`"""

from services.evaluator.service import build
from services.evaluator.settings import EvaluatorSettings
from shared.catalogue import Room
from shared.runtime import main

if __name__ == "__main__":
    main(Room.EVALUATOR, EvaluatorSettings, build)
