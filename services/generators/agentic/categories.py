"""The twelve categories in words: for models that must tell them apart, and for searches that must find them."""

from dataclasses import dataclass

from shared.domain import ImageCategory


@dataclass(frozen=True, slots=True)
class CategoryWords:
    """What belongs to a category, and which words its images are found by."""

    meaning: str
    """As quality judges it, see `services/quality/prompts/categorize.md`."""
    search: str


WORDS: dict[ImageCategory, CategoryWords] = {
    ImageCategory.GEOMETRIC: CategoryWords(
        "figures of geometry: points, lines, angles, polygons, circles, solids, and arrangements of plain shapes",
        "geometry figure triangle circle angle shapes",
    ),
    ImageCategory.MEDICAL: CategoryWords(
        "scans, microscopy, anatomy, and other images of medicine",
        "medical x-ray ct mri scan ultrasound microscopy",
    ),
    ImageCategory.CHART_GRAPH: CategoryWords(
        "plotted data: bars, lines, pies, scatter, tables of figures drawn as a chart",
        "chart graph bar plot line pie statistics",
    ),
    ImageCategory.TEXT_DENSE: CategoryWords(
        "writing that has to be read: documents, receipts, signs, screens, pages, tables of text",
        "document page text receipt form table sign",
    ),
    ImageCategory.DIAGRAM: CategoryWords(
        "parts and how they are connected: flow charts, circuits, schemes, structures of science and engineering",
        "diagram flowchart circuit schematic process",
    ),
    ImageCategory.MATH_FORMULA: CategoryWords(
        "formulas, equations and calculations that are written out",
        "equation formula mathematics handwritten expression",
    ),
    ImageCategory.MAP: CategoryWords(
        "maps, plans of places, routes, aerial and satellite views",
        "map street city route floor plan",
    ),
    ImageCategory.NATURAL_SCENE: CategoryWords(
        "landscapes, animals, plants, weather, and people outdoors",
        "landscape animal forest beach mountain outdoors",
    ),
    ImageCategory.ARTISTIC: CategoryWords(
        "paintings, drawings, sculptures, comics, designs made for their look",
        "painting drawing artwork illustration sculpture comic",
    ),
    ImageCategory.EVERYDAY_OBJECT: CategoryWords(
        "things, food, tools, clothes, vehicles, and rooms as they are used",
        "kitchen tool food toy furniture household object",
    ),
    ImageCategory.ARCHITECTURAL: CategoryWords(
        "buildings, bridges, interiors and townscapes, seen for how they are built",
        "building house bridge facade interior monument",
    ),
    ImageCategory.MIXED: CategoryWords(
        "several kinds side by side, such as a collage or a photo beside a chart, none of which rules",
        "infographic collage slide annotated photo",
    ),
}


def definitions() -> str:
    """One line for each category: its name and what belongs to it."""
    return "\n".join(f"- {category.value}: {words.meaning}" for category, words in WORDS.items())
