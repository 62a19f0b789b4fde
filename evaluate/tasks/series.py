"""Short lists of things that are easily taken for each other: an answer of one list has its wrong answers in the same.

Each line, with what is indented below it, is one list of one kind (see `kinds`). A kind has several lists where its
things are far apart: a cow is taken for a goat, not for a giraffe.
"""

from __future__ import annotations

from warmgap.evaluate.normal import normalise

_LISTS = """
planet: Mercury, Venus, Mars, Jupiter, Saturn, Uranus, Neptune
colour: red, blue, green, yellow, orange, purple, black, white, brown, pink
colour: scarlet, turquoise, indigo, violet, crimson, magenta, lilac
element: hydrogen, helium, oxygen, nitrogen, neon, argon, chlorine, fluorine, krypton, xenon, radon
element: iron, copper, zinc, tin, lead, nickel, aluminium, silver, gold, platinum, mercury, tungsten, titanium
element: sodium, potassium, calcium, magnesium, lithium, phosphorus, sulphur, carbon, silicon, iodine, boron,
  arsenic
element: uranium, plutonium, thorium, radium, polonium, praseodymium, neodymium, europium, terbium, ytterbium,
  protactinium
gem: diamond, ruby, emerald, sapphire, topaz, amethyst, garnet, opal, turquoise, pearl, aquamarine
constellation: Orion, Leo, Gemini, Taurus, Cassiopeia, Pegasus, Scorpius, Virgo, Lyra, Cygnus, Perseus, Andromeda
sign: Aries, Taurus, Gemini, Cancer, Leo, Virgo, Libra, Scorpio, Sagittarius, Capricorn, Aquarius, Pisces
continent: Africa, Asia, Europe, North America, South America, Australia, Antarctica
water: Atlantic Ocean, Pacific Ocean, Indian Ocean, Arctic Ocean
water: Lake Superior, Lake Michigan, Lake Huron, Lake Erie, Lake Ontario
water: Black Sea, Caspian Sea, Red Sea, Dead Sea, Aral Sea, Baltic Sea, Adriatic Sea, Aegean Sea
river: River Thames, River Severn, River Trent, River Tyne, River Tees, River Mersey, River Ouse, River Avon
river: Thames, Severn, Trent, Tyne, Tees, Mersey, Ouse, Avon, Humber, Wear
river: Colorado, Mississippi, Missouri, Ohio, Hudson, Potomac, Rio Grande, Columbia
river: Danube, Rhine, Seine, Loire, Elbe, Rhone, Po, Tiber, Volga, Oder
river: Nile, Congo, Niger, Zambezi, Limpopo, Amazon, Orinoco, Ganges, Indus, Mekong, Yangtze
gulf: Gulf of Aden, Gulf of Oman, Gulf of Aqaba, Gulf of Suez, Persian Gulf
gulf: Strait of Dover, Strait of Gibraltar, Strait of Messina, Bosphorus, Dardanelles, Bering Strait
mountain: Kilimanjaro, Mount Kenya, Mount Elgon, Mount Meru
mountain: Ben Nevis, Snowdon, Scafell Pike, Helvellyn, Cairn Gorm
mountain: Etna, Vesuvius, Stromboli, Krakatoa, Mauna Loa, Popocatepetl, Cotopaxi
mountain: Everest, K2, Annapurna, Kangchenjunga, Lhotse, Matterhorn, Eiger, Mont Blanc
island: Sardinia, Sicily, Corsica, Malta, Cyprus, Crete, Rhodes, Corfu, Majorca, Menorca, Ibiza, Elba
island: Jamaica, Barbados, Trinidad, Tobago, Grenada, Martinique, Guadeloupe, Antigua, St Lucia, Hispaniola, Cuba
island: Isle of Wight, Isle of Man, Jersey, Guernsey, Anglesey, Skye, Mull, Arran, Iona, Lewis, Lundy, Alderney
island: Java, Sumatra, Borneo, Bali, Sulawesi, New Guinea, Honshu, Hokkaido, Kyushu, Luzon
county: Devon, Cornwall, Somerset, Dorset, Wiltshire, Hampshire, Sussex, Kent, Surrey, Berkshire
county: Warwickshire, Worcestershire, Gloucestershire, Shropshire, Staffordshire, Derbyshire, Leicestershire,
  Oxfordshire
county: Norfolk, Suffolk, Essex, Cambridgeshire, Lincolnshire, Hertfordshire, Bedfordshire, Northamptonshire
county: Cumbria, Lancashire, Northumberland, Durham, Cheshire, Yorkshire, North Yorkshire, Merseyside
county: Cork, Kerry, Galway, Mayo, Sligo, Donegal, Clare, Limerick, Waterford, Kilkenny, Tipperary, Antrim, Armagh,
  Down
desert: Sahara, Gobi, Kalahari, Namib, Atacama, Mojave, Negev, Thar
mammal: cow, sheep, goat, pig, horse, donkey, buffalo, ox, camel, llama
mammal: giraffe, elephant, hippopotamus, rhinoceros, zebra, antelope, gnu, okapi
mammal: lion, tiger, leopard, cheetah, jaguar, lynx, puma, ocelot
mammal: wolf, fox, bear, badger, otter, weasel, stoat, jackal, hyena, mongoose
mammal: beaver, squirrel, rat, mouse, hamster, porcupine, guinea pig, chinchilla, coypu, capybara, hedgehog, rabbit,
  hare
mammal: kangaroo, koala, wombat, wallaby, possum, platypus
mammal: whale, dolphin, seal, walrus, porpoise, manatee
mammal: snake, lizard, frog, toad, tortoise, crocodile, newt, salamander
mammal: gorilla, chimpanzee, orang-utan, gibbon, baboon, lemur
bird: eagle, hawk, falcon, owl, vulture, osprey, kestrel, buzzard, kite
bird: raven, crow, magpie, jackdaw, rook, jay, dove, pigeon, swallow
bird: crane, heron, stork, egret, flamingo, ibis, spoonbill, bittern, curlew, avocet
bird: kiwi, emu, ostrich, cassowary, rhea, penguin, kakapo, kookaburra
bird: robin, wren, blackbird, thrush, sparrow, starling, skylark, nightingale, goldfinch, chaffinch
fish: salmon, trout, cod, haddock, herring, mackerel, sardine, pilchard, plaice, sole, halibut, turbot, tuna,
  sturgeon
insect: dragonfly, mayfly, grasshopper, cricket, locust, mosquito, butterfly, moth, beetle, ladybird, wasp, bee, ant
tree: oak, ash, elm, beech, birch, willow, yew, sycamore, lime, maple, poplar, rowan, alder, hazel
plant: rose, tulip, daffodil, lily, orchid, iris, carnation, thistle, poppy, foxglove, marigold, crocus, snowdrop
plant: tomato, potato, cucumber, pepper, lettuce, aubergine, onion, cabbage, carrot
plant: saffron, turmeric, cumin, paprika, cinnamon, nutmeg, ginger, cardamom, basil, thyme, parsley, sage, mint
fruit: apple, pear, plum, peach, apricot, cherry, damson, quince
fruit: orange, lemon, lime, grapefruit, tangerine, satsuma, kumquat
fruit: banana, pineapple, mango, papaya, avocado, fig, date, pomegranate, melon, coconut
fruit: potato, carrot, parsnip, turnip, swede, beetroot, cabbage, cauliflower, broccoli, onion, leek, spinach, pea
fruit: almond, walnut, hazelnut, cashew, pistachio, pecan, brazil nut
drink: gin, rum, vodka, whisky, brandy, tequila, bourbon
drink: tea, coffee, cocoa, milk, beer, cider, wine
organ: ear, eye, nose, tongue, skin
organ: liver, kidney, pancreas, spleen, heart, lung, stomach, bladder, gall bladder
body: eye, ear, nose, mouth, tongue, tooth, chin
body: arm, leg, foot, hand, knee, elbow, shoulder, hip, ankle, wrist, toe, finger, thumb
body: bones, muscles, nerves, joints, skin, liver, kidneys, lungs, heart, brain, blood
bone: femur, tibia, fibula, humerus, radius, ulna, patella, sternum, scapula, clavicle
nationality: British, American, French, German, Italian, Spanish, Dutch, Belgian, Austrian, Swiss, Polish, Russian,
  Danish
nationality: Swedish, Norwegian, Finnish, Hungarian, Czech, Greek, Turkish, Portuguese, Irish, Canadian, Australian
language: English, French, German, Italian, Spanish, Portuguese, Dutch, Swedish, Danish, Russian, Polish, Greek,
  Latin
language: Hindi, Urdu, Bengali, Arabic, Hebrew, Turkish, Persian, Chinese, Japanese, Malay, Swahili, Afrikaans
religion: Islam, Judaism, Hinduism, Buddhism, Sikhism, Christianity, Shinto, Taoism, Jainism
sport: football, cricket, rugby, hockey, tennis, badminton, squash, table tennis, basketball, netball, volleyball,
  baseball
sport: golf, croquet, bowls, snooker, billiards, darts, pool, polo, lacrosse
sport: boxing, wrestling, judo, karate, fencing, archery, rowing, sailing, swimming, cycling, skiing, curling,
  gymnastics
instrument: violin, viola, cello, double bass, guitar, harp, lute, banjo, mandolin, ukulele
instrument: flute, oboe, clarinet, bassoon, saxophone, trumpet, trombone, tuba, French horn
instrument: piano, organ, harpsichord, accordion, xylophone, drums
currency: pound, dollar, euro, franc, mark, lira, peso, rupee, krona, yen, yuan, rouble, rand, dinar, escudo, zloty
period: Triassic, Jurassic, Cretaceous, Devonian, Cambrian, Permian, Silurian, Ordovician, Carboniferous
god: Zeus, Poseidon, Hades, Apollo, Ares, Hermes, Dionysus, Hephaestus, Eros, Pan
god: Hera, Athena, Artemis, Aphrodite, Demeter, Hestia, Persephone
god: Jupiter, Neptune, Pluto, Mars, Mercury, Vulcan, Bacchus, Cupid, Saturn, Janus
god: Juno, Minerva, Diana, Venus, Ceres, Vesta
god: Odin, Thor, Loki, Baldur, Freyr, Tyr
god: Ra, Osiris, Isis, Horus, Anubis, Seth, Thoth
god: Brahma, Vishnu, Shiva, Krishna, Ganesh, Kali
festival: Easter, Pentecost, Ascension Day, Epiphany, Advent, Ash Wednesday, Palm Sunday, Candlemas, Michaelmas
festival: Diwali, Holi, Eid, Ramadan, Hanukkah, Passover, Yom Kippur, Purim
ship type: submarine, frigate, destroyer, cruiser, battleship, aircraft carrier, minesweeper
newspaper: The Times, The Guardian, The Daily Telegraph, The Independent, The Daily Mail, The Daily Express, The Sun
newspaper: The Sunday Times, The Observer, The Sunday Telegraph, The Sunday Post, The Mail on Sunday
team: Arsenal, Chelsea, Liverpool, Everton, Manchester United, Manchester City, Leeds United, Aston Villa, Newcastle
  United
team: Blackburn Rovers, Bolton Wanderers, Derby County, Nottingham Forest, Leicester City, Sunderland, Ipswich Town
team: Celtic, Rangers, Aberdeen, Hearts, Hibernian, Dundee United, Motherwell
team: New York Yankees, Boston Red Sox, Boston Braves, Chicago Cubs, St Louis Cardinals, Detroit Tigers
street: Mayfair, Park Lane, Bond Street, Oxford Street, Regent Street, Piccadilly, Fleet Street, The Strand, Pall
  Mall
building: Buckingham Palace, St James's Palace, Kensington Palace, Lambeth Palace, Hampton Court Palace
ruler: George I, George II, George III, George IV, William IV, Edward VII, George V, Edward VIII, George VI
ruler: King George I, King George II, King George III, King George IV, King William IV, King Edward VII, King George
  V
ruler: Henry VII, Henry VIII, Edward VI, James I, Charles I, Charles II, James II
ruler: Queen Victoria, Queen Anne, Mary I, Elizabeth I, Mary II
ruler: William I, William II, Henry I, Stephen, Henry II, Richard I, John, Henry III, Edward I, Edward II, Edward
  III
president: George Washington, John Adams, Thomas Jefferson, James Madison, James Monroe, Andrew Jackson, Martin Van
  Buren
president: Zachary Taylor, Millard Fillmore, Franklin Pierce, James Buchanan, Abraham Lincoln, Andrew Johnson
president: Ulysses S Grant, James Garfield, Chester Arthur, Grover Cleveland, William McKinley, Theodore Roosevelt
president: Woodrow Wilson, William Howard Taft, Warren Harding, Calvin Coolidge, Herbert Hoover
president: Harry S Truman, Dwight D Eisenhower, John F Kennedy, Lyndon B Johnson, Richard Nixon, Gerald Ford, Jimmy
  Carter
president: Ronald Reagan, George Bush, Bill Clinton, George W Bush, Barack Obama
prime minister: Winston Churchill, Clement Attlee, Anthony Eden, Harold Macmillan, Alec Douglas-Home, Harold Wilson,
  Edward Heath
prime minister: James Callaghan, Margaret Thatcher, John Major, Tony Blair, Gordon Brown, David Cameron
prime minister: David Lloyd George, Stanley Baldwin, Ramsay MacDonald, Neville Chamberlain, Herbert Asquith, Arthur
  Balfour, Campbell-Bannerman
prime minister: Benjamin Disraeli, William Gladstone, Lord Palmerston, Robert Peel, Lord Melbourne, Lord Salisbury
prime minister: Robert Walpole, William Pitt, Spencer Perceval, Lord Liverpool, Duke of Wellington, George Canning
city: London, Manchester, Birmingham, Liverpool, Leeds, Sheffield, Bristol, Newcastle, Nottingham, Leicester,
  Coventry, Hull
city: York, Oxford, Cambridge, Bath, Exeter, Norwich, Lincoln, Durham, Chester, Winchester, Worcester, Gloucester,
  Salisbury
city: Southampton, Portsmouth, Plymouth, Brighton, Bournemouth, Torquay, Blackpool, Southport, Scarborough, Hastings
city: Keswick, Kendal, Ambleside, Windermere, Penrith, Cockermouth
city: Edinburgh, Glasgow, Aberdeen, Dundee, Inverness, Perth, Stirling
city: Cardiff, Swansea, Newport, Wrexham, Bangor
city: Dublin, Cork, Galway, Limerick, Belfast, Waterford
city: New York, Chicago, Los Angeles, San Francisco, Boston, Philadelphia, Detroit, Dallas, Houston, Atlanta,
  Seattle, Miami
city: Pittsburgh, Cleveland, Cincinnati, St Louis, Baltimore, Minneapolis, Denver, New Orleans, Milwaukee, Memphis,
  Nashville
city: Las Vegas, Reno, Phoenix, Salt Lake City, San Diego, Albuquerque
city: Montgomery, Albany, Sacramento, Austin, Tallahassee, Springfield, Columbus, Harrisburg, Juneau, Honolulu,
  Boise
city: Toronto, Montreal, Vancouver, Ottawa, Calgary, Edmonton, Quebec, Winnipeg
city: Sydney, Melbourne, Brisbane, Perth, Adelaide, Canberra, Hobart, Darwin
city: Paris, Lyon, Marseille, Bordeaux, Toulouse, Nice, Strasbourg, Lille, Nantes
city: Rome, Milan, Naples, Turin, Florence, Venice, Bologna, Genoa, Palermo, Verona, Pisa
city: Berlin, Munich, Hamburg, Cologne, Frankfurt, Stuttgart, Dresden, Leipzig, Nuremberg
city: Madrid, Barcelona, Seville, Valencia, Granada, Bilbao, Malaga, Cordoba
city: Vienna, Prague, Budapest, Warsaw, Zurich, Geneva, Bratislava, Salzburg
city: Amsterdam, Rotterdam, The Hague, Utrecht, Maastricht, Eindhoven, Brussels, Antwerp, Bruges, Ghent
city: Stockholm, Gothenburg, Malmo, Uppsala, Oslo, Bergen, Copenhagen, Helsinki, Reykjavik
city: Athens, Sofia, Belgrade, Bucharest, Zagreb, Sarajevo, Ljubljana, Skopje, Tirana
city: Moscow, St Petersburg, Kiev, Minsk, Gdansk, Krakow, Riga, Vilnius, Tallinn
city: Cairo, Tunis, Algiers, Tripoli, Casablanca, Marrakesh, Nairobi, Lagos, Johannesburg, Cape Town, Durban,
  Pretoria
city: Delhi, Mumbai, Kolkata, Chennai, Karachi, Lahore, Dhaka, Kathmandu, Colombo
city: Tokyo, Osaka, Kyoto, Nagasaki, Hiroshima, Beijing, Shanghai, Hong Kong, Seoul, Taipei
city: Bangkok, Singapore, Jakarta, Manila, Hanoi, Kuala Lumpur, Phnom Penh
city: Baghdad, Tehran, Damascus, Beirut, Amman, Riyadh, Jerusalem, Tel Aviv, Istanbul, Ankara
city: Buenos Aires, Rio de Janeiro, Sao Paulo, Santiago, Lima, Bogota, Caracas, Montevideo, Quito, La Paz, Brasilia
"""
# kinds of which one may be asked for by the name of another
_ALIKE = {"resort": "city", "capital": "city", "animal": "mammal"}


def _read() -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for line in _LISTS.strip().replace("\n  ", " ").splitlines():
        kind, _, names = line.partition(": ")
        members = names.split(", ")
        for name in members:
            found.setdefault((kind, normalise(name)), members)
    return found


_SERIES = _read()


def series_of(kind: str, answer: str) -> list[str]:
    """Return the list in which an answer of this kind stands, in the singular or plural of the answer; else none."""
    plain = normalise(answer)
    kind = _ALIKE.get(kind, kind)
    found = _SERIES.get((kind, plain))
    if found is not None:
        return found
    for ending, plural in (("oes", "o"), ("ies", "y"), ("s", "")):
        single = plain.removesuffix(ending) + plural
        if plain.endswith(ending) and (kind, single) in _SERIES:
            return [_many(name) for name in _SERIES[kind, single]]
    return []


def _many(name: str) -> str:
    if name.endswith(("s", "sh", "ch", "x")):
        return name if name.endswith("s") else f"{name}es"
    if name.endswith("o"):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") and name[-2] not in "aeiou" else f"{name}s"
