package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.ProcessVm;

/** Facts about the vdso, which is the same in every process of a running kernel. */
public final class Vdso {
  private Vdso() {}

  /**
   * Address of a {@code syscall} instruction in the vdso of a process.
   *
   * @param pid any process of this host
   * @param start where its vdso is mapped
   * @param bytes how long that mapping is
   */
  public static long systemCallAddress(int pid, long start, int bytes) {
    byte[] image = ProcessVm.read(pid, start, bytes);
    for (int i = 0; i + 1 < image.length; i++) {
      if (image[i] == 0x0F && image[i + 1] == 0x05) {
        return start + i;
      }
    }
    throw new CheckpointException("the vdso of process " + pid + " holds no syscall instruction");
  }
}
