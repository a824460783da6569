"""`python -m services.planner`"""

from services.planner.service import build
from services.planner.settings import PlannerSettings
from shared.catalogue import Room
from shared.runtime import main

if __name__ == "__main__":
    main(Room.PLANNER, PlannerSettings, build)
