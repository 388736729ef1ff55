import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Hides from Java what is internal in Kotlin: java Hide.java CLASSES SOURCES...
 *
 * <p>Kotlin's internal classes are public in the JVM's eyes, and most of what UniFFI writes is internal. A class that is marked
 * as synthetic is one that compilers and editors do not offer; JNA, which needs it to be public, can still use it.
 */
class Hide {
    private static final int SYNTHETIC = 0x1000;
    private static final Pattern PACKAGE = Pattern.compile("(?m)^package ([\\w.]+)");
    /** A class of a file, or one within it; a companion need not have a name. */
    private static final Pattern CLASS = Pattern.compile(
        "(?m)^( *)(?:@\\w+ )?((?:public|internal|private|data|open|sealed|enum|value|companion) )*(?:class|interface|object)(?: (\\w+))?");

    /** A class in a descriptor. */
    private static final Pattern TYPE = Pattern.compile("L([^;]+);");

    public static void main(String[] arguments) throws IOException {
        Set<String> hidden = new HashSet<>();
        for (String folder : List.of(arguments).subList(1, arguments.length)) {
            for (Path source : files(Path.of(folder), ".kt")) {
                String text = Files.readString(source);
                var in = PACKAGE.matcher(text);
                if (!in.find()) throw new IOException(source + " has no package");
                String outer = "";
                for (var found : CLASS.matcher(text).results().toList()) {
                    String name = found.group(3) == null ? "Companion" : found.group(3);
                    boolean inner = !found.group(1).isEmpty();
                    if (!inner) outer = in.group(1).replace('.', '/') + "/" + name;
                    if (found.group().matches(" *(internal|private) .*")) hidden.add(inner ? outer + "$" + name : outer);
                }
            }
        }
        int count = 0;
        for (Path file : files(Path.of(arguments[0]), ".class")) {
            ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file));
            if (hide(bytes, hidden)) {
                Files.write(file, bytes.array());
                count++;
            }
        }
        if (count == 0) throw new IOException("no class of " + hidden.size() + " internal ones was found");
    }

    private static List<Path> files(Path folder, String end) throws IOException {
        try (Stream<Path> paths = Files.walk(folder)) {
            return paths.filter(path -> path.toString().endsWith(end)).toList();
        }
    }

    private static boolean isHidden(String name, Set<String> hidden) {
        for (int end = name.indexOf('$'); end >= 0; end = name.indexOf('$', end + 1)) {
            if (hidden.contains(name.substring(0, end))) return true;
        }
        return hidden.contains(name);
    }

    /** Marks the class, its members whose types are hidden, and the classes that it lists: JVM specification, 4.1, 4.5 and 4.7.6. */
    private static boolean hide(ByteBuffer bytes, Set<String> hidden) throws IOException {
        String[] texts = new String[bytes.getShort(8) & 0xFFFF];
        int[] names = new int[texts.length];
        bytes.position(10);
        for (int index = 1; index < texts.length; index++) {
            int tag = bytes.get();
            switch (tag) {
                case 1 -> {
                    byte[] text = new byte[(bytes.getShort(bytes.position()) & 0xFFFF) + 2];
                    bytes.get(text);
                    texts[index] = new DataInputStream(new ByteArrayInputStream(text)).readUTF();
                }
                case 7 -> names[index] = bytes.getShort() & 0xFFFF;
                case 8, 16, 19, 20 -> skip(bytes, 2);
                case 15 -> skip(bytes, 3);
                case 3, 4, 9, 10, 11, 12, 17, 18 -> skip(bytes, 4);
                case 5, 6 -> { skip(bytes, 8); index++; }
                default -> throw new IOException("a class file with the constant " + tag);
            }
        }
        int access = bytes.position();
        boolean changed = isHidden(texts[names[bytes.getShort(access + 2) & 0xFFFF]], hidden);
        if (changed) mark(bytes, access);
        bytes.position(access + 6);
        skip(bytes, 2 * (bytes.getShort() & 0xFFFF));
        for (int members = 0; members < 2; members++) {
            for (int left = bytes.getShort() & 0xFFFF; left > 0; left--) {
                String descriptor = texts[bytes.getShort(bytes.position() + 4) & 0xFFFF];
                if (TYPE.matcher(descriptor).results().anyMatch(type -> isHidden(type.group(1), hidden))) {
                    mark(bytes, bytes.position());
                    changed = true;
                }
                skip(bytes, 6);
                for (int attributes = bytes.getShort() & 0xFFFF; attributes > 0; attributes--) {
                    skip(bytes, 2);
                    skip(bytes, bytes.getInt());
                }
            }
        }
        for (int attributes = bytes.getShort() & 0xFFFF; attributes > 0; attributes--) {
            String name = texts[bytes.getShort() & 0xFFFF];
            int end = bytes.getInt() + bytes.position();
            if (name.equals("InnerClasses")) {
                for (int left = bytes.getShort() & 0xFFFF; left > 0; left--) {
                    if (isHidden(texts[names[bytes.getShort() & 0xFFFF]], hidden)) {
                        mark(bytes, bytes.position() + 4);
                        changed = true;
                    }
                    skip(bytes, 6);
                }
            }
            bytes.position(end);
        }
        return changed;
    }

    private static void mark(ByteBuffer bytes, int access) {
        bytes.putShort(access, (short) (bytes.getShort(access) | SYNTHETIC));
    }

    private static void skip(ByteBuffer bytes, int count) {
        bytes.position(bytes.position() + count);
    }
}
