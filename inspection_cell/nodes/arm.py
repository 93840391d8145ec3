"""The arm node: the planned steps of a part's way as an action; joint states; obeys the protective stop."""

from __future__ import annotations

import threading
import time
import traceback
from pathlib import Path

import numpy as np
from inspection_cell_interfaces import msg, srv
from inspection_cell_interfaces.action import MoveArm
from numpy.typing import NDArray
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Parameter
from sensor_msgs.msg import JointState

from inspection_cell.core.poses import Pose
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import Disposition, Severity
from inspection_cell.devices.gripper import Gripper, build_gripper
from inspection_cell.motion.contacts import Workplace
from inspection_cell.motion.embedded.planning import EmbeddedPlanner
from inspection_cell.motion.executor import TaskExecutor
from inspection_cell.motion.simulated_arm import SimulatedArm, simulated_arm
from inspection_cell.motion.task import load_or_plan
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.faults import reason_of
from inspection_cell.nodes.managed import ManagedNode
from inspection_cell.recipe.paths import share_folder
from inspection_cell.recipe.recipe import load_recipe
from inspection_cell.recipe.scene import motion_views, scene_of
from inspection_cell.simulation.link import WorldLink, connect_world

STANDSTILL_PERIOD_S = 0.2
# How long a goal is kept after its end. Every status message names every goal that is kept, and rclpy keeps them for
# 900 s: 200 steps on, an action's round trip took 25 ms instead of 7.
RESULT_KEPT_S = 10


class ArmNode(ManagedNode):
    """Executes one step at a time; a cancel decelerates and stands."""

    def __init__(self, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__("arm", parameter_overrides)
        self._world: WorldLink | None = None
        self._arm: SimulatedArm | None = None
        self._gripper: Gripper | None = None
        self._planner: EmbeddedPlanner | None = None
        self._executor: TaskExecutor | None = None
        self._prepared = ""
        self._moving = threading.Lock()
        self._stopped_by_signal = False
        self._steps_done = 0
        self._joints = self.create_publisher(JointState, "joint_states", 10)
        self.create_service(srv.PrepareRecipe, "~/prepare_recipe", self._on_prepare, callback_group=self.work_group)
        self._action = ActionServer(
            self,
            MoveArm,
            "~/move",
            execute_callback=self._execute,
            goal_callback=lambda _: GoalResponse.ACCEPT if self.active else GoalResponse.REJECT,
            cancel_callback=self._on_cancel,
            callback_group=self.work_group,
            result_timeout=RESULT_KEPT_S,
        )
        self.create_subscription(
            msg.SignalState, "signals", self.guarded(self._on_signals), qos.STATE, callback_group=self.work_group
        )
        self.create_timer(STANDSTILL_PERIOD_S, self.guarded(self._report_standstill), callback_group=self.work_group)

    def configure(self) -> None:
        config = self.config
        self._world = connect_world(config, self.data_folder)
        self._gripper = build_gripper(config.gripper, self._world)
        self._scene_path = Path(self.get_parameter("cell_config").value)

    def cleanup(self) -> None:
        if self._executor is not None:
            self._executor.stop()
        if self._planner is not None:
            self._planner.close()
        if self._world is not None:
            self._world.close()
        self._arm = self._gripper = self._planner = self._executor = self._world = None
        self._prepared = ""

    def diagnose(self) -> dict[str, object]:
        arm = self._arm
        return {
            "arm": self.config.arm.backend if self._config is not None else "",
            "moving": arm.state().moving if arm else "",
            "protective stop": arm.state().protective_stop if arm else "",
            "steps done": self._steps_done,
        }

    def _on_prepare(
        self, request: srv.PrepareRecipe.Request, response: srv.PrepareRecipe.Response
    ) -> srv.PrepareRecipe.Response:
        started = time.monotonic()
        try:
            if not self.active:
                raise RuntimeError("the arm node is not active")
            with self._moving:
                self._prepare(Path(request.recipe_path), request.recipe_hash)
            assert self._executor is not None
            response.steps, response.success = self._executor.sequence, True
        except Exception as error:
            self.get_logger().error(traceback.format_exc())
            response.reason = convert.reason_to_msg(reason_of(error, "arm", Code.ARM_NOT_PLANNED))
        response.duration_s = time.monotonic() - started
        return response

    def _prepare(self, path: Path, recipe_hash: str) -> None:
        if self._prepared == recipe_hash and self._executor is not None:
            return
        recipe = load_recipe(path)
        if recipe.hash != recipe_hash:
            raise ValueError(f"{path}: its content is not the one asked for; select the recipe again")
        share = share_folder()
        scene = scene_of(self.config, self._scene_path, recipe)
        if self._arm is None:
            self._arm = simulated_arm(scene, share, self.config.arm.speed, self._on_arm_state)
        if self._planner is not None:
            self._planner.close()
        self._planner = EmbeddedPlanner(scene, share, self._arm)
        grasps = [g.grasp for g in recipe.grasps]
        plan, said = load_or_plan(
            self.data_folder / "motion" / f"{recipe.name}.npz",
            scene,
            share,
            grasps,
            motion_views(recipe),
            self._planner,
            progress=lambda what, fraction: self.get_logger().info(f"planning {what}: {fraction:.0%}"),
        )
        self.get_logger().info(said)
        workplace = Workplace(scene, {g.name: g for g in grasps}, self._planner, 1)
        assert self._gripper is not None
        whereabouts = self.data_folder / "motion" / "part.json"
        self._executor = TaskExecutor(plan, workplace, self._gripper, self.config.arm.settle_s, whereabouts)
        self._prepared = recipe_hash

    def _execute(self, goal: ServerGoalHandle) -> MoveArm.Result:
        result, step = MoveArm.Result(), goal.request.step
        executor = self._executor
        if executor is None:
            text = "no recipe is prepared"
            result.reason = convert.reason_to_msg(Reason(Code.ARM_NOT_PLANNED, text, "arm"))
            goal.abort()
            return result
        try:
            with self._moving:
                report = executor.do(step, lambda f: goal.publish_feedback(MoveArm.Feedback(progress=f)))
            self._steps_done += 1
            result.success, result.settled = True, report.settled
            result.t_world_tool = convert.pose_to_msg(report.T_world_tool)
            result.disposition, result.motion_s = int(report.disposition), report.motion_s
            result.holding = report.disposition is Disposition.GRIPPER
            goal.succeed()
        except Exception as error:
            reason = reason_of(error, "arm", Code.ARM_STOPPED)
            if self._stopped_by_signal:
                reason = Reason(Code.PROTECTIVE_STOP, f"protective stop during {step}", "arm")
            self.event(Severity.FAULT, reason.code, f"{step}: {reason.text}", goal.request.inspection_id)
            result.reason = convert.reason_to_msg(reason)
            result.disposition = int(executor.disposition)
            if goal.is_cancel_requested:
                goal.canceled()
            else:
                goal.abort()
        return result

    def _on_cancel(self, _: ServerGoalHandle) -> CancelResponse:
        if self._executor is not None:
            threading.Thread(target=self.guarded(self._executor.stop), daemon=True).start()
        return CancelResponse.ACCEPT

    def _on_signals(self, message: msg.SignalState) -> None:
        stopped = message.protective_stop or not message.valid or not message.door_closed
        if self._arm is not None and stopped != self._stopped_by_signal:
            self._arm.protective_stop(stopped)
        self._stopped_by_signal = stopped

    def _on_arm_state(self, q: NDArray[np.float64], T_world_tool: Pose) -> None:
        """Called by the arm about 50 times a second while it moves, and at its end."""
        if self._world is not None:
            self._world.on_arm_state(q, T_world_tool)
        if self._arm is not None:
            self._publish_joints()

    def _report_standstill(self) -> None:
        if self._arm is not None and not self._arm.state().moving:
            self._publish_joints()

    def _publish_joints(self) -> None:
        assert self._arm is not None
        if self._planner is None:
            return
        state = self._arm.state()
        message = JointState(name=list(self._planner.robot.names))
        message.header.stamp = convert.time_to_msg(state.stamp_ns)
        message.position = np.asarray(state.q, float).tolist()
        message.velocity = np.asarray(state.qd, float).tolist()
        self._joints.publish(message)
