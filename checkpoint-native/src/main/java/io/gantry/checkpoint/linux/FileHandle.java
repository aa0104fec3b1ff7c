package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** {@code open_by_handle_at(2)}. Needs {@code CAP_DAC_READ_SEARCH}. Any thread. */
public final class FileHandle {
  /** {@code MAX_HANDLE_SZ}, {@code linux/exportfs.h}. */
  public static final int BYTES_MAX = 128;

  private FileHandle() {}

  /**
   * Opens a file with {@code O_PATH}, which no watcher notices.
   *
   * @param anchor a directory of the file system, open for reading
   * @return our descriptor, or minus the error number ({@code ESTALE}: no such file, or the file system makes handles that lead nowhere)
   */
  public static int open(int anchor, int type, byte[] handle) {
    if (handle.length > BYTES_MAX) {
      return -Errno.EINVAL;
    }
    // struct file_handle: length 4, type 4, the handle.
    var at = Scratch.get();
    at.set(ValueLayout.JAVA_INT, 0, handle.length);
    at.set(ValueLayout.JAVA_INT, 4, type);
    MemorySegment.copy(handle, 0, at, ValueLayout.JAVA_BYTE, 8, handle.length);
    int flags = Fd.O_PATH | Fd.O_NOFOLLOW | Fd.O_CLOEXEC;
    return (int) Libc.syscall(SyscallNumber.OPEN_BY_HANDLE_AT, anchor, at.address(), flags, 0, 0, 0);
  }
}
