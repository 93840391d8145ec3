"""Writes docs/reasons.md: every reason code with what it means and what to do. Run after changing core/reasons.py."""

from __future__ import annotations

from pathlib import Path

from inspection_cell.core.reasons import Code

PAGE = Path(__file__).parents[1] / "docs" / "reasons.md"

GROUPS = {
    1: "The part",
    2: "A check or a view was lost or is invalid",
    3: "Camera and light",
    4: "Arm and gripper",
    5: "Scale",
    6: "Models and analysis",
    7: "Records",
    8: "The cell and its nodes",
    9: "The request",
}

# Code: what it means, what to do.
MEANINGS: dict[Code, tuple[str, str]] = {
    Code.COMPONENT_MISSING: ("A component is not where the CAD has it.", "Reject the part."),
    Code.COMPONENT_WRONG: ("Another component sits in its place.", "Reject the part."),
    Code.COMPONENT_UNCERTAIN: ("A component is neither clearly right nor clearly wrong.", "A person looks at it."),
    Code.ANOMALY_VIEWS: ("As many views as the rule asks for are over their limit.", "Reject the part."),
    Code.ANOMALY_CRITICAL: ("One view is over its critical limit.", "Reject the part."),
    Code.ANOMALY_UNCERTAIN: ("The surface differs from good parts, but not over the limit.", "A person looks at it."),
    Code.WEIGHT_LOW: ("The part is lighter than the tolerance allows.", "Reject the part."),
    Code.WEIGHT_HIGH: ("The part is heavier than the tolerance allows.", "Reject the part."),
    Code.WEIGHT_UNCERTAIN: ("The mass lies between the two tolerances.", "Weigh it again, by hand."),
    Code.CHECK_MISSING: ("A check of the plan never reported.", "Inspect again; see the causes named beside it."),
    Code.CHECK_LATE: ("A check reported after its deadline.", "Inspect again; check the computer's load."),
    Code.CHECK_INVALID: ("A check could not judge, or contradicts itself.", "Inspect again; see the node's log."),
    Code.CHECK_NOT_FINITE: ("A score is not a number.", "Fit the model again."),
    Code.CHECK_WRONG_MODEL: ("A model judged that the recipe does not name.", "Select the recipe again."),
    Code.CHECK_NOT_JUDGED_ENOUGH: ("A component could be judged in too few views.", "Add viewpoints that show it."),
    Code.CHECK_UNEXPECTED: ("A result came that the plan did not ask for; it was ignored.", "Look for a second cell."),
    Code.VIEW_MISSING: ("A view of the plan was never taken, or taken elsewhere.", "Inspect again."),
    Code.ALIGNMENT_REFUSED: ("The part's pose in the gripper was not found.", "Check gripping, light and the CAD."),
    Code.ALIGNMENT_STALE: ("The pose found belongs to an earlier grasp.", "Inspect again."),
    Code.VIEWS_DISAGREE: (
        "The wide views of a grasp put the part farther apart than their uncertainty allows.",
        "Check the cameras' calibration and where they stand; if that is right, whether the part slips in the hand.",
    ),
    Code.CAMERA_FAILED: ("The camera delivered no usable image.", "Check cable, power and network."),
    Code.CAMERA_TIMEOUT: ("No image came in time.", "Check the trigger and the exposure time."),
    Code.CAMERA_WRONG_SIZE: ("The image is not as large as calibrated.", "Restore the camera's settings."),
    Code.CAMERA_LOST: ("The camera is gone.", "Check cable and power; then reset."),
    Code.CAMERA_RETRIED: ("A view was taken again; the second try worked.", "Nothing; watch how often it happens."),
    Code.FRAMES_EXHAUSTED: ("No shared memory was free for a frame.", "Enlarge /dev/shm or the pool."),
    Code.FRAME_STALE: ("A frame was overwritten before it was read.", "Enlarge the pool."),
    Code.LIGHT_FAILED: ("The light did not switch, or the image is dark.", "Check the light."),
    Code.ARM_REFUSED: ("The arm did not take a motion.", "Check its mode and its controller."),
    Code.ARM_STOPPED: ("The arm stopped on its way.", "Look for an obstacle; then reset."),
    Code.ARM_NOT_PLANNED: ("No safe way was found.", "Check the scene and the viewpoints."),
    Code.ARM_NOT_SETTLED: ("The arm still moved when a view was taken.", "Lengthen the settling time."),
    Code.PART_LOST: ("The gripper lost the part.", "Find the part; check jaws and force."),
    Code.PART_NOT_GRIPPED: ("The gripper closed on nothing.", "Check the infeed."),
    Code.GRIPPER_FAILED: ("The gripper did not do as told.", "Check air, power and cable."),
    Code.SCALE_TIMEOUT: ("The scale did not answer.", "Check its cable and settings."),
    Code.SCALE_UNSTABLE: ("The mass did not settle.", "Keep draught and vibration away."),
    Code.SCALE_OVERLOAD: ("More lies on the scale than it can weigh.", "Clear the scale."),
    Code.SCALE_UNDERLOAD: ("The scale reads below its range.", "Put the pan back; tare."),
    Code.SCALE_GARBAGE: ("The scale's answer cannot be read.", "Check protocol and baud rate."),
    Code.SCALE_LOST: ("The scale's port is gone.", "Check its cable; then reset."),
    Code.MODEL_MISSING: ("A model's file is not there.", "Fit the model or copy it."),
    Code.MODEL_CORRUPT: ("A model's file cannot be read.", "Copy it again."),
    Code.MODEL_WRONG_HASH: (
        "A model's file is not the one the recipe names.",
        "Restore the model or release a recipe.",
    ),
    Code.ANALYSIS_FAILED: ("A check broke off with an exception.", "See the node's log."),
    Code.RECORD_FAILED: ("The record could not be written.", "Check the data disk."),
    Code.STORE_FULL: ("There is too little room for another part.", "Free or enlarge the data disk."),
    Code.PROTECTIVE_STOP: ("The safety controller stopped the cell.", "Clear the cause; release; reset."),
    Code.DOOR_OPEN: ("A door is open.", "Close it; reset."),
    Code.SIGNALS_LOST: ("The safety controller's signals cannot be read.", "Check the connection."),
    Code.NODE_LOST: ("A node does not live any more.", "It is started again; reset."),
    Code.NODE_ERROR: ("A node reported an error.", "See its log; reset."),
    Code.INTERRUPTED: ("The cell stopped in the middle of an inspection.", "Take the part from where the record says."),
    Code.ABORTED: ("The inspection was aborted on request.", "Take the part out; reset."),
    Code.TIMEOUT: ("Something did not end in time.", "See the reasons beside it."),
    Code.NOT_READY: ("The cell cannot start now.", "Wait for Ready, or reset."),
    Code.UNKNOWN_RECIPE: ("There is no recipe of this name.", "Check the name."),
    Code.INVALID_RECIPE: ("The recipe or its plan contradicts itself.", "Correct it where the text says."),
    Code.UNKNOWN_INSPECTION: ("There is no inspection of this id.", "Check the id."),
    Code.INVALID_REQUEST: ("A field of the request is empty or wrong.", "Correct the request."),
    Code.REQUEST_CONFLICT: ("The request id was used for another part.", "Use a new request id."),
    Code.NOT_FINISHED: ("There is no result yet.", "Ask again later."),
}

INTRODUCTION = """# Reason codes

Every verdict and every refused request carries reasons, gravest first: a stable number, a name, a sentence for people
and a subject (a check, view, component, device or node). A PLC may switch on the numbers. 0 is no reason.

This page is written by `tools/write_reasons.py`.
"""


def page() -> str:
    """The page as Markdown."""
    lines = [INTRODUCTION]
    for group, title in GROUPS.items():
        lines += [f"## {group}xx: {title}", "", "| code | name | meaning | what to do |", "|---|---|---|---|"]
        for code in sorted(Code):
            if code // 100 == group:
                meaning, cure = MEANINGS[code]
                lines.append(f"| {int(code)} | {code.name} | {meaning} | {cure} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
