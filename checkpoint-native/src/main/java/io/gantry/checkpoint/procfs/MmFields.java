package io.gantry.checkpoint.procfs;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * The addresses that the kernel keeps of an address space, from {@code /proc/PID/stat} (man 5 proc_pid_stat), the auxiliary vector
 * and the THP switch.
 *
 * @param auxiliaryVector key, value, key, value, … with the final zeros
 * @param hugePagesDisabled {@code PR_SET_THP_DISABLE}
 */
public record MmFields(
    long startCode,
    long endCode,
    long startStack,
    long startData,
    long endData,
    long startBrk,
    long argStart,
    long argEnd,
    long envStart,
    long envEnd,
    List<Long> auxiliaryVector,
    boolean hugePagesDisabled) {
  public MmFields {
    auxiliaryVector = List.copyOf(auxiliaryVector);
  }

  public static MmFields read(int pid) {
    String stat = new String(ProcBytes.read(pid, "stat"), StandardCharsets.ISO_8859_1);
    // The name in parentheses may itself hold spaces and parentheses; behind the last one comes field 3.
    String[] fields = stat.substring(stat.lastIndexOf(')') + 2).trim().split(" ");
    var auxiliary = ByteBuffer.wrap(ProcBytes.read(pid, "auxv")).order(ByteOrder.LITTLE_ENDIAN).asLongBuffer();
    var vector = new ArrayList<Long>(auxiliary.remaining());
    while (auxiliary.hasRemaining()) {
      vector.add(auxiliary.get());
    }
    boolean disabled = new String(ProcBytes.read(pid, "status"), StandardCharsets.ISO_8859_1).contains("\nTHP_enabled:\t0\n");
    return new MmFields(
        field(fields, 26),
        field(fields, 27),
        field(fields, 28),
        field(fields, 45),
        field(fields, 46),
        field(fields, 47),
        field(fields, 48),
        field(fields, 49),
        field(fields, 50),
        field(fields, 51),
        vector,
        disabled);
  }

  private static long field(String[] fields, int number) {
    return Long.parseUnsignedLong(fields[number - 3]);
  }
}
