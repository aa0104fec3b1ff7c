package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.ProcessVm;

/** Facts about the vdso, which is the same in every process of a running kernel. */
public final class Vdso {
  private static volatile int systemCallAt = -1;

  private Vdso() {}

  private static boolean isSystemCall(byte[] code, int at) {
    return code[at] == 0x0F && code[at + 1] == 0x05;
  }

  /**
   * Address of a {@code syscall} instruction in the vdso of a process.
   *
   * @param pid any process of this host
   * @param start where its vdso is mapped
   * @param bytes how long that mapping is
   */
  public static long systemCallAddress(int pid, long start, int bytes) {
    // Looked for once, since a tree may have hundreds of processes, and made sure of.
    int known = systemCallAt;
    if (known >= 0 && known + 2 <= bytes && isSystemCall(ProcessVm.read(pid, start + known, 2), 0)) {
      return start + known;
    }
    byte[] image = ProcessVm.read(pid, start, bytes);
    for (int i = 0; i + 1 < image.length; i++) {
      if (isSystemCall(image, i)) {
        systemCallAt = i;
        return start + i;
      }
    }
    throw new CheckpointException("the vdso of process " + pid + " holds no syscall instruction");
  }
}
