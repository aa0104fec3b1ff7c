package io.gantry.checkpoint.state;

import io.gantry.checkpoint.image.core_entry;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.procfs.TaskStat;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.tracee.Registers;
import java.nio.file.NoSuchFileException;

/**
 * A main thread that has ended before others of its process ({@code pthread_exit(3)} in {@code main}): a zombie that nobody can
 * wait for before they have ended, too. What it is said to be is what the first of the others is, as far as nothing else can be
 * seen. On the destination it ends as soon as it runs.
 */
final class EndedMain {
  /** {@code SS_DISABLE} of {@code sigaltstack(2)}. */
  private static final int SS_DISABLE = 2;

  private static final long ALL_SIGNALS = -1;
  /** {@code _exit(2)} gives a status in bits 8 to 15 of what {@code wait(2)} says. */
  private static final int STATUS_SHIFT = 8;

  private static final int STATUS_MASK = 0xff;

  private EndedMain() {}

  /**
   * @param pid the process, as the host counts
   * @param other the first living thread, with what the process has besides its threads
   * @param maps of the container's own user namespace
   */
  static core_entry capture(int pid, core_entry other, IdMaps maps) throws NoSuchFileException {
    var status = TaskStatus.ofProcess(pid);
    var core = other.toBuilder();
    core.getThreadInfoBuilder().setClearTidAddr(0);
    core.getThreadCoreBuilder()
        .setEndedWith(TaskStat.ofProcess(pid).exitCode())
        .setComm(status.text("Name"))
        .setCreds(Credentials.capture(status, other.getThreadCore().getCreds().getSecbits(), maps))
        .setBlkSigset(ALL_SIGNALS)
        .setFutexRla(0)
        .setFutexRlaLen(0)
        .setPdeathSig(0)
        .clearRseqEntry()
        .clearInterruptedCall()
        .clearSignalsP();
    core.getThreadCoreBuilder().getSasBuilder().setSsSp(0).setSsSize(0).setSsFlags(SS_DISABLE);
    return core.build();
  }

  static boolean is(core_entry core) {
    return core.getThreadCore().hasEndedWith();
  }

  /** Registers with which it ends, by the {@code syscall} instruction at an address. */
  static long[] ending(core_entry core, long[] registers, long systemCall) {
    long[] ending = registers.clone();
    ending[Registers.RIP] = systemCall;
    ending[Registers.RAX] = SyscallNumber.EXIT;
    ending[Registers.RDI] = core.getThreadCore().getEndedWith() >> STATUS_SHIFT & STATUS_MASK;
    ending[Registers.ORIG_RAX] = -1;
    return ending;
  }
}
