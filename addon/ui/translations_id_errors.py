"""Indonesian of the errors that are raised outside the interface, with {} where a value stands; translations.filled."""

FIELDS = {
    "Address": "Alamat",
    "Artifact": "Artefak",
    "Backend key": "Kunci backend",
    "Batch": "Kelompok",
    "Base colour": "Warna dasar",
    "Camera": "Kamera",
    "Colour space": "Ruang warna",
    "Compression": "Kompresi",
    "Configuration": "Konfigurasi",
    "Fps": "Fps",
    "Frame": "Frame",
    "Guidance": "Panduan",
    "Job": "Pekerjaan",
    "Keys": "Kunci",
    "Objects": "Objek",
    "Output": "Keluaran",
    "Output folder": "Folder keluaran",
    "Picture": "Gambar",
    "Pairing line": "Baris penyandingan",
    "Reference": "Acuan",
    "Resolution": "Resolusi",
    "Shot.json": "Shot.json",
    "Transfer": "Pengiriman",
}

PROBLEMS = {
    # The scene and its cameras
    "the range {}-{} is empty": "rentang {}-{} kosong",
    "{}-{} is out of range": "{}-{} di luar rentang",
    "the scene has none": "adegan tidak memilikinya",
    "{} is gone from {}": "{} sudah tidak ada di {}",
    "{} is gone": "{} sudah tidak ada",
    "another one is shown now": "yang ditampilkan sekarang adegan lain",
    "it is being rendered": "sedang dirender",
    "there is no room for temporary files": "tidak ada ruang untuk berkas sementara",
    "its camera was deleted or undone while it was read": "kameranya dihapus atau diurungkan saat sedang dibaca",
    "frame {} holds NaN or nothing in front of the camera": "frame {} berisi NaN atau tidak ada apa pun di depan kamera",
    "{} is not a camera": "{} bukan kamera",
    "{} is no perspective camera but {}": "{} bukan kamera perspektif melainkan {}",
    "its focal length is {} mm": "panjang fokusnya {} mm",
    "its matrix holds NaN or infinity": "matriksnya berisi NaN atau tak hingga",
    "it is scaled to zero": "skalanya nol",
    "it is mirrored or flattened by its scale": "ia tercermin atau menjadi pipih karena skalanya",
    "Blender could not render it: {}": "Blender tidak dapat merendernya: {}",
    "nothing was written to {}": "tidak ada yang tertulis ke {}",
    "near {} m is not before far {} m": "dekat {} m tidak lebih kecil daripada jauh {} m",
    # What a shot may be
    "expected {} matrices, got K {} and pose {}": "seharusnya {} matriks, ternyata K {} dan pose {}",
    "a matrix holds NaN or infinity": "sebuah matriks berisi NaN atau tak hingga",
    "a focal length is zero or negative": "sebuah panjang fokus nol atau negatif",
    "a matrix has a wrong last row": "baris terakhir sebuah matriks salah",
    "a pose is scaled, sheared or mirrored": "sebuah pose berskala, miring, atau tercermin",
    "expected shape {}, got {}": "seharusnya berbentuk {}, ternyata {}",
    "it holds NaN": "isinya NaN",
    "it holds NaN or infinity": "isinya NaN atau tak hingga",
    "it holds zero or negative metres": "isinya nol atau meter negatif",
    "near {} and far {} are no range": "dekat {} dan jauh {} bukan rentang",
    "it is empty": "masih kosong",
    "it is {} bytes long": "panjangnya {} byte",
    "the name is empty or over-long": "namanya kosong atau terlalu panjang",
    "{} is out of range": "{} di luar rentang",
    "{} is unknown": "{} tidak dikenal",
    "it is longer than {} characters": "lebih panjang dari {} karakter",
    "{} holds a slash or a control character": "{} mengandung garis miring atau karakter kontrol",
    "{} to {} are no frame numbers": "{} sampai {} bukan nomor frame",
    "Use numbers from {} to {}": "Pakai nomor dari {} sampai {}",
    "its K holds {} pixels": "K-nya berisi {} piksel",
    "Send K in pixels of the shot's own resolution": "Kirim K dalam piksel resolusi shot itu sendiri",
    "it stands {} m away from the world's origin": "letaknya {} m dari titik asal dunia",
    "Send its poses in metres": "Kirim pose-posenya dalam meter",
    "it reaches {} m": "mencapai {} m",
    "it holds {}": "isinya {}",
    "shape {} does not fit the shot": "bentuk {} tidak cocok dengan shot",
    "its alpha is neither 0 nor 255": "alfanya bukan 0 dan bukan 255",
    "Send 255 where the colour is told, else 0": "Kirim 255 di tempat warnanya disebutkan, selain itu 0",
    "Send [T, H, W, 4]": "Kirim [T, H, W, 4]",
    "Sun": "Matahari",
    "a direction is not of length 1": "satu arah tidak sepanjang 1",
    "Send [T, 3]": "Kirim [T, 3]",
    "Send unit vectors that point to the sun": "Kirim vektor satuan yang menunjuk ke matahari",
    "it is damaged: {} of {} frames have base colours": "rusak: {} dari {} frame punya warna dasar",
    "a shot of {} frame has no motion to lock to": "shot {} frame tidak punya gerakan untuk dikunci",
    "{} frames are more than {}": "{} frame lebih dari {}",
    "{} frames are more than the {} that {} renders in one piece": (
        "{} frame lebih dari {} yang dapat dirender {} sekaligus"
    ),
    "the numbers do not rise evenly": "nomornya tidak naik secara teratur",
    "{}x{} is out of range": "{}x{} di luar rentang",
    "{}x{} is too far from the scene's {}x{}": "{}x{} terlalu jauh dari {}x{} milik scene",
    "its K does not fit the shot": "K-nya tidak cocok dengan shot",
    "Send one finite K (3x3) per frame": "Kirim satu K (3x3) yang berhingga per frame",
    "its K is no camera's": "K-nya bukan milik kamera",
    "Send focal lengths above zero and a last row of 0 0 1": "Kirim panjang fokus di atas nol dan baris terakhir 0 0 1",
    "{}x{} is no frame": "{}x{} bukan ukuran frame",
    "Send the scene's resolution and pixels": "Kirim resolusi dan piksel scene",
    "Send finite numbers": "Kirim angka yang berhingga",
    "Choose a size nearer to the scene's shape": "Pilih ukuran yang lebih dekat dengan bentuk scene",
    "{}x{} is over 16.7 megapixels": "{}x{} melebihi 16,7 megapiksel",
    "the file holds {} shots": "berkas itu berisi {} shot",
    "{} is not in the file": "{} tidak ada dalam berkas",
    "it is damaged: {}": "rusak: {}",
    "the disk of {} has {} free, and the shot may need {}": "disk {} tersisa {}, dan shot mungkin memerlukan {}",
    # Takes
    "{} is damaged": "{} rusak",
    "{} has no valid state": "{} tidak memiliki keadaan yang sah",
    "frame {} was not asked for": "frame {} tidak diminta",
    "frame {} is no EXR file": "frame {} bukan berkas EXR",
    "{} is not one of {}": "{} bukan salah satu dari {}",
    "{} of {} are missing, the first is {}": "{} dari {} belum ada, yang pertama {}",
    "it is not finished": "belum selesai",
    "{} arrived damaged (SHA-256 differs)": "{} tiba dalam keadaan rusak (SHA-256 berbeda)",
    "{} is not readable as JSON": "{} tidak terbaca sebagai JSON",
    "it names no frames": "tidak menyebut frame apa pun",
    "the disk of {} is full": "disk {} penuh",
    "{} cannot be read": "{} tidak dapat dibaca",
    "{} cannot be written to": "{} tidak dapat ditulisi",
    "{} does not exist": "{} tidak ada",
    "{} is a symbolic link": "{} adalah tautan simbolis",
    "{} is no frame number": "{} bukan nomor frame",
    "{} already holds a plate": "{} sudah berisi plate",
    "{} is no {} file: {}": "{} bukan berkas {}: {}",
    "{} is rejected": "{} ditolak",
    "{} is still being made": "{} masih dibuat",
    "{} is landed in {}": "{} ditempatkan di {}",
    # Landing
    "there is none to land the take for": "tidak ada kamera untuk menempatkan take",
    "{} is landed in its place": "{} sudah ditempatkan di sana",
    "{} is Farplane's own": "{} milik Farplane sendiri",
    "Land the take in the scene it was made for": "Tempatkan take di adegan asalnya",
    "nothing of it is shown in this view layer": "tidak ada bagiannya yang tampak di view layer ini",
    "Show the set, or see what is in the Foreground": "Tampilkan set, atau lihat isi Latar Depan",
    "{} is not landed in {}": "{} tidak ditempatkan di {}",
    "{} is no way to land": "{} bukan cara menempatkan",
    "{} is linked from another file": "{} ditautkan dari berkas lain",
    "{} is no mesh": "{} bukan mesh",
    "{} shares its mesh with others": "{} berbagi mesh dengan yang lain",
    "{} is in edit mode": "{} sedang dalam mode edit",
    "{} has eight UV maps already": "{} sudah memiliki delapan peta UV",
    "this OCIO configuration has no linear Rec.709": "konfigurasi OCIO ini tidak memiliki Rec.709 linear",
    "{} holds no plate": "{} tidak berisi plate",
    "{} is compressed as HTJ2K, which Blender reads from 5.2 on": (
        "{} dikompresi sebagai HTJ2K, yang dibaca Blender sejak 5.2"
    ),
    "Set": "Set",
    "there is no geometry to project on": "tidak ada geometri untuk diproyeksikan",
    "there is no geometry to project on but what is left out: {}": (
        "tidak ada geometri untuk diproyeksikan selain yang ditinggalkan: {}"
    ),
    "There is no geometry: the plate's sky alone is projected": (
        "Tidak ada geometri: hanya langit plate yang diproyeksikan"
    ),
    "Left out of the projection as Foreground: {}": "Tidak ikut diproyeksikan karena Latar Depan: {}",
    "Take it out of the Foreground, or select something of the set": (
        "Keluarkan dari Latar Depan, atau pilih sesuatu dari set"
    ),
    "Left out of the projection, linked from another file: {}": (
        "Tidak ikut diproyeksikan, ditautkan dari berkas lain: {}"
    ),
    "Left out of the projection, shown by the Foreground too: {}": (
        "Tidak ikut diproyeksikan, ditampilkan juga oleh Latar Depan: {}"
    ),
    "Give the Foreground a copy of its own": "Beri Latar Depan salinannya sendiri",
    "Left out of the projection, no material slot that may be changed: {}": (
        "Tidak ikut diproyeksikan, tanpa slot material yang boleh diubah: {}"
    ),
    "Give it a material, or make its data local": "Beri material, atau jadikan datanya lokal",
    "Left out of the baking, no mesh of its own: {}": "Tidak ikut dipanggang, tanpa mesh sendiri: {}",
    "Make its instances real: Object > Apply > Make Instances Real": (
        "Jadikan instansnya nyata: Object > Apply > Make Instances Real"
    ),
    "The film is transparent, so that the plate's sky does not show": (
        "Film-nya transparan, sehingga langit plate tidak tampak"
    ),
    "Render > Film > Transparent": "Render > Film > Transparent",
    "Blender refuses it: {}": "Blender menolaknya: {}",
    "Land it in another way, and tell us of this scene": (
        "Tempatkan dengan cara lain, dan ceritakan adegan ini kepada kami"
    ),
    "its shot.json tells no camera for this frame": "shot.json-nya tidak menyebut kamera untuk frame ini",
    # Variations and storyboards
    "{} = {} variations are more than {}": "{} = {} variasi lebih dari {}",
    "a { stands inside of braces": "ada { di dalam kurung kurawal",
    "a } has no { before it": "ada } tanpa { di depannya",
    "a { is not closed": "ada { yang tidak ditutup",
    "there is nothing between a { and its }": "tidak ada apa pun di antara { dan }",
    "{} stands twice in one pair of braces": "{} muncul dua kali dalam satu pasang kurung kurawal",
    "no marker of the timeline has a camera": "tidak ada penanda garis waktu yang memiliki kamera",
    "{} shots are more than {}": "{} shot lebih dari {}",
    "it has no shots": "tidak memiliki shot",
    "the sequencer's channels are full": "saluran pengurutan video sudah penuh",
    "{} has none": "{} tidak memilikinya",
    "it was cancelled on the backend": "dibatalkan di backend",
    # Backends, keys and pairing
    "it is no PNG that can be shown: {}": "bukan PNG yang dapat ditampilkan: {}",
    "{} is no address": "{} bukan alamat",
    "{} is no address ({})": "{} bukan alamat ({})",
    "{} is not on the backend's machine": "{} tidak ada di mesin backend",
    "{} is unknown to the backend": "{} tidak dikenal backend",
    "{} MiB are more than the backend takes ({} MiB)": "{} MiB lebih dari yang diterima backend ({} MiB)",
    "the backend cannot be understood ({})": "backend tidak dapat dipahami ({})",
    "the backend refuses to talk: {}": "backend menolak berbicara: {}",
    "the backend does not know this client's key": "backend tidak mengenal kunci klien ini",
    "nothing answers at {}": "tidak ada yang menjawab di {}",
    "what answers at {} does not have the expected key": "yang menjawab di {} tidak memiliki kunci yang diharapkan",
    "the backend at {} does not answer": "backend di {} tidak menjawab",
    "this is none": "ini bukan baris penyandingan",
    "it is damaged or incomplete": "rusak atau tidak lengkap",
    "{} is no plain name": "{} bukan nama biasa",
    "{} cannot be made ({})": "{} tidak dapat dibuat ({})",
    "{} cannot be written ({})": "{} tidak dapat ditulis ({})",
    "it is not a Farplane key": "ini bukan kunci Farplane",
    "{} cannot be read ({})": "{} tidak dapat dibaca ({})",
    "the backend at {} is not this machine's own, and its key was not given": (
        "backend di {} bukan milik mesin ini, dan kuncinya tidak diberikan"
    ),
    "{} does not load on the backend's machine: {}": "{} tidak dapat dimuat di mesin backend: {}",
    "{} can be read by other users": "{} dapat dibaca pengguna lain",
}

REMEDIES = {
    "Give the first frame before the last": "Berikan frame pertama sebelum yang terakhir",
    "Move the shot to frames 0 to {}": "Pindahkan shot ke frame 0 sampai {}",
    "Add a camera and make it the scene's active one": "Tambahkan kamera dan jadikan kamera aktif adegan",
    "Choose another camera": "Pilih kamera lain",
    "Look for broken geometry or a clip start of zero": "Cari geometri yang rusak atau awal klip nol",
    "Make a camera the scene's active one": "Jadikan sebuah kamera sebagai kamera aktif adegan",
    "Set the camera's lens to Perspective": "Atur lensa kamera ke Perspective",
    "Give the camera a lens above 1 mm": "Beri kamera lensa di atas 1 mm",
    "Check the camera's drivers and constraints": "Periksa driver dan constraint kamera",
    "Give the camera and its parents a scale above zero": "Beri kamera dan induknya skala di atas nol",
    "Apply the scale of the camera rig": "Terapkan skala rig kamera",
    "Enable Cycles in the preferences": "Aktifkan Cycles di preferensi",
    "Leave the reference render out": "Lewati render acuan",
    "Free some space for temporary files": "Kosongkan ruang untuk berkas sementara",
    "Free some space, choose another folder, or render fewer frames or a smaller size": (
        "Kosongkan ruang, pilih folder lain, atau render lebih sedikit frame atau ukuran lebih kecil"
    ),
    "Send one K (3x3) and one world_from_camera (4x4) per frame": (
        "Kirim satu K (3x3) dan satu world_from_camera (4x4) per frame"
    ),
    "Send K ending in 0 0 1 and poses in 0 0 0 1": "Kirim K yang berakhir 0 0 1 dan pose 0 0 0 1",
    "Send the rigid pose without scale": "Kirim pose kaku tanpa skala",
    "Send one depth image per frame at the shot's resolution": (
        "Kirim satu gambar kedalaman per frame dengan resolusi shot"
    ),
    "Use inf where nothing is hit": "Pakai inf di tempat yang tidak mengenai apa pun",
    "Depth is measured forward from the camera": "Kedalaman diukur ke depan dari kamera",
    "Give 0 < near < far": "Berikan 0 < dekat < jauh",
    "Describe the plate in a few words": "Gambarkan plate dengan beberapa kata",
    "Keep it under {} bytes": "Jangan lebih dari {} byte",
    "Name a model from `farplane models`": "Sebut model dari `farplane models`",
    "Use a whole number from 0 to 2**53 - 1": "Pakai bilangan bulat dari 0 sampai 2**53 - 1",
    "Use 1 to 200, or 0 for the model's default": "Pakai 1 sampai 200, atau 0 untuk bawaan model",
    "Use 0 to 50; 0 is the model's default": "Pakai 0 sampai 50; 0 adalah bawaan model",
    "Use one of {}": "Pakai salah satu dari {}",
    "Set the scene's frame rate above 0 and to 1000 at most": "Atur laju frame adegan di atas 0 dan paling banyak 1000",
    "Rename the scene or marker": "Ganti nama adegan atau penanda",
    "Send [T, H, W, 3]": "Kirim [T, H, W, 3]",
    "Send finite scene-linear values": "Kirim nilai scene-linear yang berhingga",
    "Choose at least 2 frames": "Pilih sekurangnya 2 frame",
    "Shorten the range or raise the frame step": "Perpendek rentang atau naikkan langkah frame",
    "Use start, end and a positive step": "Pakai awal, akhir, dan langkah positif",
    "Use sides from {} to {} pixels": "Pakai sisi dari {} sampai {} piksel",
    "Lower the resolution percentage": "Turunkan persentase resolusi",
    "Name one of {}": "Sebut salah satu dari {}",
    "Render the variations again": "Render variasinya lagi",
    "Render it again": "Render lagi",
    "Render again": "Render lagi",
    "Render it again, with ZIP compression": "Render lagi, dengan kompresi ZIP",
    "Choose another folder, or allow overwriting": "Pilih folder lain, atau izinkan penimpaan",
    "Name the folder it points to": "Sebut folder yang ditunjuknya",
    "Delete take.json, or the take": "Hapus take.json, atau take-nya",
    "Check the backend's version": "Periksa versi backend",
    "Wait for its last frame, or render it again": "Tunggu frame terakhirnya, atau render lagi",
    "Fetch the job again": "Ambil lagi pekerjaannya",
    "Render the take again, or restore the file": "Render lagi take itu, atau pulihkan berkasnya",
    "Extract the shot again": "Baca lagi shot itu",
    "Free some space, or choose another folder": "Kosongkan ruang, atau pilih folder lain",
    "Choose a folder that is yours": "Pilih folder milik Anda",
    "Choose the folder of a take": "Pilih folder sebuah take",
    "Put the file itself there": "Letakkan berkasnya sendiri di sana",
    "Choose another folder": "Pilih folder lain",
    "Use frames from 0 to {}": "Pakai frame dari 0 sampai {}",
    "Give the scene an active camera": "Beri adegan kamera aktif",
    "Accept this take first, or remove the other one": "Terima dulu take ini, atau keluarkan yang lain",
    "Make it a library override: Object > Library Override > Make": (
        "Jadikan library override: Object > Library Override > Make"
    ),
    "Make it single-user: Object > Relations > Make Single User": (
        "Jadikan pengguna tunggal: Object > Relations > Make Single User"
    ),
    "Convert it: Object > Convert > Mesh": "Ubah: Object > Convert > Mesh",
    "Make its data local first": "Jadikan datanya lokal dahulu",
    "Leave it with Tab": "Tinggalkan dengan Tab",
    "Remove one of them": "Buang salah satunya",
    "Use Blender's own, or add `Linear Rec.709`": "Pakai milik Blender, atau tambahkan `Linear Rec.709`",
    "Choose the folder with the plate.####.exr files": "Pilih folder berisi berkas plate.####.exr",
    "Render the take again": "Render lagi take itu",
    "Generate it again with ZIP, or open the scene in Blender 5.2": (
        "Buat lagi dengan ZIP, atau buka adegan di Blender 5.2"
    ),
    "Select a mesh that you may edit": "Pilih mesh yang boleh Anda sunting",
    "Land the take again": "Tempatkan lagi take itu",
    "Wait for the render, or stop it": "Tunggu render itu, atau hentikan",
    "Generate the take again": "Buat lagi take itu",
    "Leave out some alternatives": "Kurangi alternatifnya",
    "Write the combinations out; braces do not nest": "Tulis kombinasinya satu per satu; kurung tidak dapat bersarang",
    "Remove it, or write \\} for the character itself": "Buang, atau tulis \\} untuk hurufnya sendiri",
    "Add the }, or write \\{ for the character itself": "Tambahkan }, atau tulis \\{ untuk hurufnya sendiri",
    "Select a camera, go to a frame, and choose Marker > Bind Camera to Markers in the timeline": (
        "Pilih kamera, pergi ke sebuah frame, lalu pilih Marker > Bind Camera to Markers di garis waktu"
    ),
    "Choose a range of frames": "Pilih rentang frame",
    "Render its drafts first": "Render dulu drafnya",
    "Move strips to lower channels": "Pindahkan strip ke saluran lebih rendah",
    "Copy the line that 'farplane pair' prints on the backend's machine": (
        "Salin baris yang dicetak 'farplane pair' di mesin backend"
    ),
    "Update the backend": "Perbarui backend",
    "Install a model on the backend's machine": "Pasang model di mesin backend",
    "Render fewer frames or lower the resolution": "Render lebih sedikit frame atau turunkan resolusi",
    "Check that `farplane serve` runs and the address is right": (
        "Periksa apakah `farplane serve` berjalan dan alamatnya benar"
    ),
    "Install the same Farplane version on both sides": "Pasang versi Farplane yang sama di kedua sisi",
    "Give it as tcp://host:port": "Tulis sebagai tcp://host:port",
    "Restart `farplane serve` there": "Jalankan ulang `farplane serve` di sana",
    "Give the public key that `farplane serve` prints there": (
        "Berikan kunci publik yang dicetak `farplane serve` di sana"
    ),
    "Check its permissions": "Periksa izin aksesnya",
    "Copy the whole line again": "Salin lagi seluruh barisnya",
    "Use letters, digits, - and _": "Pakai huruf, angka, - dan _",
    "Set FARPLANE_CONFIG to a folder of yours": "Atur FARPLANE_CONFIG ke folder milik Anda",
    "Copy all 40 characters, as `farplane serve` prints them": "Salin semua 40 karakter, seperti dicetak `farplane serve`",
    "Run: chmod 600 {}": "Jalankan: chmod 600 {}",
    "Delete it; a new pair is made on the next start": "Hapus; pasangan baru dibuat saat dijalankan lagi",
    "On the backend's machine run: farplane clients add -- '{}'": (
        "Di mesin backend jalankan: farplane clients add -- '{}'"
    ),
}

NOTES = {  # addon/notes.py
    "physics without a bake ({}): sent as Blender renders it now, and another render may differ; bake it first": (
        "fisika tanpa bake ({}): dikirim seperti yang dirender Blender sekarang, dan render lain bisa berbeda; bake dulu"
    ),
    "physics of simulation nodes ({}): another render may differ where they are not baked; bake them first": (
        "fisika dari node simulasi ({}): render lain bisa berbeda jika belum di-bake; bake dulu"
    ),
    "stereo: the scene renders two eyes, and the plate is made for the camera between them": (
        "stereo: adegan merender dua mata, dan plate dibuat untuk kamera di antaranya"
    ),
    "depth: in {} of frame {} geometry lies beyond the camera's clip end ({}), and is sky in the plate; raise Clip End, or "
    "hide it": (
        "kedalaman: di {} dari frame {} ada geometri di luar clip end kamera ({}), dan menjadi langit di plate; naikkan "
        "Clip End, atau sembunyikan"
    ),
    "depth: {} of frame {} lies behind more than {} transparent surfaces: Cycles renders it black, and the plate has a wall "
    "there; raise Light Paths > Transparent": (
        "kedalaman: {} dari frame {} ada di balik lebih dari {} permukaan transparan: Cycles merendernya hitam, dan plate "
        "berdinding di sana; naikkan Light Paths > Transparent"
    ),
}

TEXTS = FIELDS | PROBLEMS | REMEDIES | NOTES
