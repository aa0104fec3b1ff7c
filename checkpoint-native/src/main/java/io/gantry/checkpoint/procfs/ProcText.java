package io.gantry.checkpoint.procfs;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.KernelException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/** Whole files of {@code /proc}, and the numbers in its directories. Any thread. */
public final class ProcText {
  private static final int FIRST_BYTES = 8 * 1024;
  private static final ThreadLocal<MemorySegment> BUFFER =
      ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(FIRST_BYTES));

  private ProcText() {}

  /**
   * The file's text.
   *
   * @throws NoSuchFileException when the process or thread is gone
   */
  public static String read(String path) throws NoSuchFileException {
    return new String(readBytes(path), StandardCharsets.UTF_8);
  }

  /** As {@link #read}, undecoded. */
  public static byte[] readBytes(String path) throws NoSuchFileException {
    return readBytes(path, false);
  }

  /**
   * As {@link #readBytes}, of a file that the kernel hands out in one piece as far as it fits ({@code single_open} in {@code fs/proc}): what is shorter than
   * the buffer is all of it, and need not be asked for once more.
   */
  static byte[] readPiece(String path) throws NoSuchFileException {
    return readBytes(path, true);
  }

  private static byte[] readBytes(String path, boolean onePiece) throws NoSuchFileException {
    int fd = Fd.tryOpen(path, Fd.O_RDONLY | Fd.O_CLOEXEC, 0);
    if (fd < 0) {
      throw failed("open", path, -fd);
    }
    try {
      var buffer = BUFFER.get();
      byte[] all = new byte[0];
      while (true) {
        long read = Fd.read(fd, buffer);
        if (read < 0) {
          throw failed("read", path, (int) -read);
        }
        if (read == 0) {
          return all;
        }
        int from = all.length;
        all = Arrays.copyOf(all, from + (int) read);
        MemorySegment.copy(buffer, ValueLayout.JAVA_BYTE, 0, all, from, (int) read);
        if (onePiece && read < buffer.byteSize()) {
          return all;
        }
      }
    } finally {
      Fd.close(fd);
    }
  }

  /** Writes a setting such as {@code oom_score_adj}. */
  public static void write(String path, String text) {
    int fd = Fd.open(path, Fd.O_WRONLY | Fd.O_CLOEXEC, 0);
    try {
      Fd.write(fd, text.getBytes(StandardCharsets.UTF_8));
    } catch (KernelException e) {
      throw new CheckpointException("writing \"" + text + "\" to " + path + ": " + e.getMessage(), e);
    } finally {
      Fd.close(fd);
    }
  }

  /** The numbers among the names in a directory, ascending: processes of {@code /proc}, threads of {@code task}, descriptors of {@code fd}. */
  public static List<Integer> numbers(String directory) throws NoSuchFileException {
    try (var entries = Files.list(Path.of(directory))) {
      return entries
          .map(entry -> entry.getFileName().toString())
          .filter(name -> Character.isDigit(name.charAt(0)))
          .map(Integer::valueOf)
          .sorted()
          .toList();
    } catch (NoSuchFileException e) {
      throw e;
    } catch (IOException e) {
      throw new UncheckedIOException("listing " + directory, e);
    } catch (UncheckedIOException e) {
      // The process ended while its directory was being read.
      throw new NoSuchFileException(directory);
    }
  }

  private static NoSuchFileException failed(String call, String path, int errno) {
    if (errno == Errno.ENOENT || errno == Errno.ESRCH) {
      return new NoSuchFileException(path);
    }
    throw new KernelException(call + "(\"" + path + "\")", errno);
  }
}
