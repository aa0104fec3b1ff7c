package io.gantry.checkpoint;

import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.Scheduling;
import io.gantry.checkpoint.procfs.ProcText;
import java.nio.file.NoSuchFileException;

/**
 * How the agent's threads stand beside the containers': a pause is as long as the slowest hand-over between two threads of the agents, and on a host whose processors are
 * busy with containers each hand-over waits its turn. The agent does next to nothing between migrations, so being served first costs the containers next to nothing.
 */
public final class AgentPriority {
  /** Nice value of the agent's threads ({@code man 7 sched}): about nine times the weight of an ordinary thread. */
  public static final int NICE = -10;

  private AgentPriority() {}

  /**
   * Sets the nice value of every thread that this process has now; threads made later inherit it from the one that makes them. Call it first. Containers
   * are born with the usual value again.
   *
   * @throws CheckpointException when the kernel does not allow it (CAP_SYS_NICE)
   */
  public static void raise() {
    try {
      for (int tid : ProcText.numbers("/proc/self/task")) {
        Scheduling.setNice(tid, NICE);
      }
    } catch (NoSuchFileException e) {
      throw new CheckpointException("/proc/self/task cannot be listed; is /proc mounted?", e);
    } catch (KernelException e) {
      throw new CheckpointException("the agent's threads cannot be given precedence: " + e.getMessage() + "; CAP_SYS_NICE would help", e);
    }
  }
}
